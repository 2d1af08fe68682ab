"""Proves what the harness catches: known bugs of driver, wire and lab, and the verdict that each must get."""
