"""Interrupts a Jupyter kernel in the middle of a call of R: ``fault_notebook.py START SECONDS``; prints JSON.

Run by ``fault_programs`` with a Python that has jupyter_client and ipykernel.
"""

import json
import sys
import time

from jupyter_client.manager import start_new_kernel

start, wait = sys.argv[1], float(sys.argv[2])
manager, client = start_new_kernel(kernel_name="python3")
try:
    client.execute_interactive(start, timeout=60, output_hook=lambda _: None)
    client.execute("worker.call('ivb_loop')", stop_on_error=False)
    time.sleep(wait)
    event = time.monotonic()
    manager.interrupt_kernel()
    message = client.get_iopub_msg(timeout=60)
    while message["msg_type"] != "error":
        message = client.get_iopub_msg(timeout=60)
    seconds = time.monotonic() - event
    begun = time.monotonic()
    answer = client.execute_interactive("worker.call('ivb_pid')", timeout=60, output_hook=lambda _: None)
    assert answer["content"]["status"] == "ok"
    print(json.dumps({"error": message["content"]["ename"], "seconds": seconds, "next": time.monotonic() - begun}))
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
