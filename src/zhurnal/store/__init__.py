"""What is on disk: files written whole, records appended, the lab and its runs. Never imports torch."""
