"""What `zoo plugin check` starts for each part."""

from zoo.testing.sandbox import answer

answer()
