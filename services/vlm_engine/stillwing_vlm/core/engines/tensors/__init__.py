"""What is done to tensors, whoever they belong to: turned, rounded to 8 bits, sent to a device, kept in huge pages."""
