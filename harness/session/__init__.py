"""One cell from boot to verdict: ``cell`` brings lab, guest and driver up and runs the suite, ``case`` judges each test."""
