"""Charts of the report: numbers in, a description for vega out."""
