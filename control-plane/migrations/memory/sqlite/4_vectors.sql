-- Which vectors a holder has, without reading them.
CREATE INDEX memory_vector_held ON memory_vector (holder, embedder, fact);
