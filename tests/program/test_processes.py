"""Programs and what comes and goes around them: threads, and processes that are forked."""

import gc
import subprocess
import sys
import threading

from autograms.program import watchdog
from tests.programs import bot

TALK = """
@autograms_function()
def chatbot():
    while True:
        reply_instruction("Answer.")
"""

FORK = """
import os, signal
from tests.program.test_processes import TALK
from tests.programs import bot
bot = bot(TALK, ["answer"] * 3)
text, memory = bot.reply()
child = os.fork()
if child == 0:
    signal.alarm(60)
    begun, gone_on = bot.reply()[0], bot.reply("hi", memory)[0]
    os._exit(0 if begun == gone_on == text else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_talks():
    # In a process of its own: this one has threads of pytest's, which a fork would leave behind.
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_threads_that_ended_are_watched_no_more():
    before = len(watchdog._all_watches())
    for _ in range(20):
        thread = threading.Thread(target=bot("def chatbot():\n    reply('hi')\n").reply)
        thread.start()
        thread.join()
    gc.collect()
    assert len(watchdog._all_watches()) <= before + 2
