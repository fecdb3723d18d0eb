-- Each row has its holder as a word, so that a search reads that holder's rows alone.
DROP INDEX memory_fact_words;
ALTER TABLE memory_fact DROP COLUMN words;
ALTER TABLE memory_fact ADD COLUMN words TSVECTOR GENERATED ALWAYS AS (
    to_tsvector('english', content) || array_to_tsvector(ARRAY['h' || CAST(holder AS TEXT)])
) STORED;
CREATE INDEX memory_fact_words ON memory_fact USING gin (words) WHERE expired_ms IS NULL;
