"""How the vehicle flies: attitude and position control, the autopilot's rules, and motions.

Pure numbers, no simulator.
"""

from stillwing_airfield.flight.autopilot import Autopilot
from stillwing_airfield.flight.controller import Controller, Goal, VehicleState, Wrench
from stillwing_airfield.flight.tasks import TaskRunner

__all__ = ["Autopilot", "Controller", "Goal", "TaskRunner", "VehicleState", "Wrench"]
