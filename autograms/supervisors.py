"""What supervisors return: import ``SupervisorReturn`` from here."""

from autograms.primitives.supervision import SupervisorReturn

__all__ = ["SupervisorReturn"]
