"""The release of Salt whose behaviour is followed."""

SALT_VERSION = "3008.3"
