"""EVIDENCE → PAGE: wording, figures, tables and the batch that renders them. Pages compute nothing."""
