"""What single weights of a trained network are worth: exact changes of the loss, and what proxies say of them."""
