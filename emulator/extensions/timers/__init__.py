"""The timers extension: functions that run on a schedule (timerTrigger)."""
