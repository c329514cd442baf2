"""A batch of records becomes one write plan, column by column or change by change. Pure."""
