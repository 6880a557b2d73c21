"""WHO IS COMPARED WITH WHOM: a Design keeps rows of a panel and says why it left out the others."""
