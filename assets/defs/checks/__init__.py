"""Asset checks across venues."""
