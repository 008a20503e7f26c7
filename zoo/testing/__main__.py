"""What `zoo plugin check` starts for each part."""

from zoo.testing.tryout import answer

answer()
