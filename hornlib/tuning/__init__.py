"""Tuning: the same number of trials for every arm, a choice by validation, fresh seeds for what was chosen."""
