"""How the embedded model is made: tokenizer, training examples, canvas layout, training loop."""
