"""The domain's exception tree, whole: callers import every error from here, each wing is defined in its own module.

A client turns a reason into its class again, and the page of errors lists them all; both need the whole tree, whichever
wing a program uses. So the package loads every module, and where a class is defined is nobody's concern but ours.
"""

# ruff: noqa: F403  the modules hold errors and nothing else, and this is the one place that collects them
from stillwing_common.errors.base import *
from stillwing_common.errors.engine import *
from stillwing_common.errors.installation import *
from stillwing_common.errors.memory import *
from stillwing_common.errors.mission import *
from stillwing_common.errors.vehicle import *
from stillwing_common.errors.wire import *
