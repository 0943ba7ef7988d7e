"""The audits of one dataset side by side: `reports/<dataset>.html` and `reports/<dataset>.csv`."""
