"""Alarms: what is wrong in a market's folder, told once to the people whom its config names, and when it is over.

signs.py       the signs of life on disk: heartbeats of streamer and worker, what became of the last period
conditions.py  the words: kinds of trouble with the patience for each, what was seen of a folder
look.py        reads a folder (never writes), everything an alarm needs is there
judge.py       what is wrong, out of what was read (pure)
book.py        who has been told what: when to tell, remind, tell the recovery, hold back (pure)
texts.py       every sentence, in English and Chinese
message.py     lines into one short message (pure)
attend.py      the shell around them: look, decide, keep ``BASE_DIR/alarms.json``, send
command.py     ``python -m kit watch`` and ``python -m kit notify-test``

The worker, the streamer's child and cron run the same; they share ``alarms.json`` and so never repeat each other.
Nothing is imported here: the streamer needs ``signs`` and ``attend`` without what sends, and must stay light.
"""
