"""What tests do with a store beside what the product does."""

from s3fs import S3FileSystem

from pipeline import places


def credentials(address: str) -> dict[str, str]:
    """What says in the environment where a server of S3 answers, and who asks."""
    said = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}
    found = {f"AWS_{name}": value for name, value in {**said, "ENDPOINT_URL": address}.items()}
    return found | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def forget() -> None:
    """Ask the store anew, as another process would: what it has listed is remembered."""
    S3FileSystem.clear_instance_cache()
    places._connected.cache_clear()
