"""The models that lebench itself puts on the board on a task, as ``baselines`` of its declaration names them.

Each is a specification or a tag; a model that lacks what a task needs is skipped with the reason.
"""

#: Those of the questions of digits and of the manifolds.
STANDARD = (
    *("linear", "deep-linear", "mlp", "lenet", "cnn", "resnet", "resnet-nf", "vgg"),
    *("knn", "logistic-regression"),
    *("rbf", "laplace", "linear-kernel", "ntk-mlp", "nngp-mlp", "ntk-cnn", "entk-mlp"),
    *("constant", "random-features", "permuted-labels", "leak-kernel"),
)
#: With those that cost more, where kernels and networks are compared.
LADDER = (*STANDARD, "nngp-cnn", "entk-mlp-trained", "lin-mlp")
#: A dense kernel, its label-aware forms and the one with permuted labels, where labels are what is asked about.
LABEL_AWARE = ("ntk-mlp", "rbf", "lantk-hr-mlp", "lantk-hr-mlp[permuted=true]")
HIERARCHY = "lantk-nth-mlp"
CONVOLUTIONAL = ("ntk-cnn", "lantk-hr-cnn")
#: Those of the core suite.
CORE = (*LADDER, *LABEL_AWARE, HIERARCHY)
#: On photographs networks diverge at their published rates, so the paper's optimizer trains them.
ADAM = "mlp[lr=0.0003,optimizer=adam]"
#: On small digits they are trained as everywhere else, beside the control.
TRAINED = ("mlp", "permuted-labels")
