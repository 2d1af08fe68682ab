"""Damaged captures made from good ones, each with its verdict."""
