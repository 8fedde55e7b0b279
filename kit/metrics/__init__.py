"""What Prometheus can ask the streamer and the worker for: one table of metrics, and an endpoint that tells them.

Light: what needs ``prometheus_client`` (``exposition``, ``endpoint``) is imported only where metrics are served.
"""

from kit.metrics.address import VARIABLE, Address, MetricsError, parse_address
from kit.metrics.histogram import Histogram

__all__ = ["VARIABLE", "Address", "Histogram", "MetricsError", "parse_address"]
