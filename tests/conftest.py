"""What holds for every test: a law is not broken because the machine was busy while an example was drawn or tried."""

from hypothesis import HealthCheck, settings

settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")
