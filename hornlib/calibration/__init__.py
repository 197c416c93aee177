"""Calibration: the step time and the peak memory of a lone lane, of every distinct shape of a grid."""
