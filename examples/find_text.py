"""Text that matches a regular expression: find the phone number, the date, a yes or no."""

import ctrlgen

NOTE = "The phone number is 408-971-8523. The date is 2026-03-01."

model = ctrlgen.load()
print(model(f"What is the phone number? {NOTE}", ctrlgen.regex(r"[0-9]{3}-[0-9]{3}-[0-9]{4}")))
print(model(f"What is the date? {NOTE}", ctrlgen.regex(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]")))
print(model("Is there a date? " + NOTE, ctrlgen.choice(["yes", "no"])))
