"""One cell from boot to verdict: ``cell`` brings lab, guest and driver up, ``case`` judges each test."""
