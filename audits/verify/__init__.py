"""An audit made anew in a clean copy, and compared with what is committed."""
