"""What tests do with a store beside what the product does."""

from s3fs import S3FileSystem

from pipeline import places


def forget() -> None:
    """Ask the store anew, as another process would: what it has listed is remembered."""
    S3FileSystem.clear_instance_cache()
    places._connected.cache_clear()
