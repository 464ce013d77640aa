"""Simulation: scenarios, the simulator, and the ledger of what is paid and what is reused."""

from autograms.simulation.account import Progress
from autograms.simulation.scenarios import Scenario, load_scenarios, plain_scenarios
from autograms.simulation.simulator import Simulation, Simulator

__all__ = ["Progress", "Scenario", "Simulation", "Simulator", "load_scenarios", "plain_scenarios"]
