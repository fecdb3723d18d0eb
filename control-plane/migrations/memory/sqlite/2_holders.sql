-- In PostgreSQL rows get their holder as a word of the text index. Here they have had it from the beginning.
SELECT 1;
