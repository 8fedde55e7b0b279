"""Faults that can be switched on: the table of them, those that are on, and what each does at its seam."""

from kit.embedded_exchange.faults.active import Active, Faults
from kit.embedded_exchange.faults.fault import Fault, fault_of, parse_fault
from kit.embedded_exchange.faults.kinds import KINDS
from kit.embedded_exchange.faults.parameters import FaultError

__all__ = ["KINDS", "Active", "Fault", "FaultError", "Faults", "fault_of", "parse_fault"]
