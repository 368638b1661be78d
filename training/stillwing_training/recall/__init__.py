"""A task whose answers can be scored at any age: signs shown one after another, and a tiny model that recalls them."""
