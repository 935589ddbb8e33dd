"""What vendors' bytes mean. It must not send, store or decide anything, nor import an SDK."""
