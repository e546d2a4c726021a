"""The TLS side of the configuration, as the context that httpcore wants."""

from __future__ import annotations

import importlib.util
import ssl

from kuzu_client.config import KuzuClientConfig


def ssl_context(config: KuzuClientConfig) -> ssl.SSLContext:
    """Raises ValueError naming the setting whose file is missing or is no PEM."""
    context = ssl.create_default_context()
    if config.ca_bundle is not None:
        try:
            context = ssl.create_default_context(cafile=config.ca_bundle)
        except OSError as error:
            raise ValueError(f"ca_bundle={config.ca_bundle!r}: {error}") from error
    if not config.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_cert is not None:
        pair = (config.client_cert,) if isinstance(config.client_cert, str) else config.client_cert
        try:
            context.load_cert_chain(*pair)
        except OSError as error:
            raise ValueError(f"client_cert={config.client_cert!r}: {error}") from error
    return context


def require_http2(config: KuzuClientConfig) -> None:
    """Raises ValueError at once instead of an ImportError in the midst of the first call."""
    if config.http2 and importlib.util.find_spec("h2") is None:
        raise ValueError("http2=True needs the package h2: pip install h2")
