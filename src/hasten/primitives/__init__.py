"""What tasks wait on and work together by: sleep, wait, gather, timeouts, groups, locks, queues…"""
