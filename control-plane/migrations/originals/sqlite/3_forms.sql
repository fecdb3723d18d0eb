-- The form that left the text out, so that what is asked back tells something about it.

ALTER TABLE original ADD COLUMN form TEXT NOT NULL DEFAULT '';
