"""From a query to its hits: what can be asked, which pictures qualify, how answers are ordered, drawn and explained."""
