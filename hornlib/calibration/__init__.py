"""Calibration: the step time and the peak memory of a lone lane, for every distinct shape of a grid."""
