"""What can be limited without Linux: rlimits where the system has them."""

from __future__ import annotations


def limit(*, memory_mb: int, cpu_seconds: float) -> None:
    """Set the rlimits that this system knows; do nothing on Windows."""
    try:
        import resource
    except ImportError:
        return
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": int(cpu_seconds) + 2,
        "RLIMIT_AS": memory_mb << 20,
    }
    for name, value in wanted.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        try:
            hard = resource.getrlimit(number)[1]
            if hard != resource.RLIM_INFINITY:
                value = min(value, hard)
            resource.setrlimit(number, (value, value))
        except (OSError, ValueError):
            continue  # macOS refuses some; tier 0 promises nothing
