"""Stage `validate`: findings against the planted truth, where there is one."""
