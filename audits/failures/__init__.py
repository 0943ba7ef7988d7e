"""Stage `failures`: components on which a class's prompt depends more than it should."""
