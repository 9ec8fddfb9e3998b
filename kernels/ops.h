// Every op of every kind, named once. An op's number is its place in its list; TypeScript asks for the names when it loads the library.
// Elementwise ops are lines in the .inc files beside this one: NAME(op, domain, expression).
#pragma once

#define CASTOR_REDUCE(X) X(sum) X(mean) X(prod) X(max) X(min) X(argmax) X(argmin) X(any) X(all) X(norm) X(var) X(std) X(logSumExp) X(countNonzero)
#define CASTOR_SCAN(X) X(cumsum) X(cumprod)
#define CASTOR_SOFTMAX(X) X(softmax) X(logSoftmax)
#define CASTOR_NORM(X) X(layerNorm) X(rmsNorm)
#define CASTOR_CHANNEL_NORM(X) X(batchNorm) X(batchNormEval) X(groupNorm)
#define CASTOR_GATHER(X) X(gather) X(indexSelect)
#define CASTOR_SCATTER(X) X(scatter) X(scatterAdd) X(indexCopy) X(indexAdd)
#define CASTOR_ACTIVATION(X) X(none) X(relu) X(gelu) X(geluTanh)
#define CASTOR_CONVOLUTION(X) X(forward) X(inputGrad) X(weightGrad)
#define CASTOR_POOL(X) X(max) X(avg)
#define CASTOR_RANDOM(X) X(uniform) X(normal) X(bernoulli) X(exponential) X(randint)

namespace castor {

#define CASTOR_ENUMERATOR(name) name,
enum class Reduce { CASTOR_REDUCE(CASTOR_ENUMERATOR) };
enum class Scan { CASTOR_SCAN(CASTOR_ENUMERATOR) };
enum class Softmax { CASTOR_SOFTMAX(CASTOR_ENUMERATOR) };
enum class Norm { CASTOR_NORM(CASTOR_ENUMERATOR) };
enum class ChannelNorm { CASTOR_CHANNEL_NORM(CASTOR_ENUMERATOR) };
enum class Gather { CASTOR_GATHER(CASTOR_ENUMERATOR) };
enum class Scatter { CASTOR_SCATTER(CASTOR_ENUMERATOR) };
enum class Activation { CASTOR_ACTIVATION(CASTOR_ENUMERATOR) };
enum class Convolution { CASTOR_CONVOLUTION(CASTOR_ENUMERATOR) };
enum class Pool { CASTOR_POOL(CASTOR_ENUMERATOR) };
enum class Random { CASTOR_RANDOM(CASTOR_ENUMERATOR) };
#undef CASTOR_ENUMERATOR

}  // namespace castor
