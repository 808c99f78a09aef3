"""The studies behind docs/toolkit.md: what each family of the toolkit does on real data. Run: python -m docs.toolkit"""
