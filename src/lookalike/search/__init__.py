"""From a query to its hits: queries, filters, search, reranking, drawing and explanation."""
