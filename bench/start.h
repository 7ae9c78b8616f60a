// What a server costs before it does anything: time from spawn to its ready line, memory when idle.
#pragma once

// Starts `command` `count` times, one after another, and prints the medians as
// "start_ms=… rss_kib=… pss_kib=…". Returns the exit code.
int start_measure(int count, char **command);

// The same of a command that ends by itself, with 0: prints "whole_ms=…", from spawn to its end.
int start_measure_whole(int count, char **command);
