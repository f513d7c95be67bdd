// Thread pool: persistent threads that help whoever has work, in dynamic chunks.
//
// The caller works too and waits only for helpers that hold a chunk, so that a thread that other processes keep from the
// processor costs one chunk, not a share of every layer. An idle thread spins for a moment, because a network's next
// layer comes at once, and then sleeps.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace ptocr {

inline void relax() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

// Denormal numbers count as zero while this lives: arithmetic on them is a hundred times slower.
class WithoutDenormals {
#if defined(__x86_64__) || defined(_M_X64)
    unsigned before = _mm_getcsr();

public:
    WithoutDenormals() { _mm_setcsr(before | 0x8040); }
    ~WithoutDenormals() { _mm_setcsr(before); }
#elif defined(__aarch64__)
    uint64_t before;

public:
    WithoutDenormals() {
        __asm__ __volatile__("mrs %0, fpcr" : "=r"(before));
        __asm__ __volatile__("msr fpcr, %0" ::"r"(before | (1ull << 24)));
    }
    ~WithoutDenormals() { __asm__ __volatile__("msr fpcr, %0" ::"r"(before)); }
#else
public:
    WithoutDenormals() {}
#endif
};

class Pool {
    struct Job {
        void (*body)(void*, int64_t);
        void* context;
        int64_t count;
        int limit;               // helpers that may join
        int joined = 0, inside = 0;  // under `lock`
        std::atomic<int64_t> next{0};
        std::atomic<bool> left{false};  // the last helper has gone
        std::exception_ptr error;
    };
    static constexpr int SPINS = 2000;  // some tens of microseconds

    std::mutex lock;
    std::condition_variable posted, finished;
    std::vector<Job*> jobs;
    std::atomic<uint64_t> number{0};  // of the newest job
    int threads = 0, asleep = 0;

    static Pool*& current() {
        static Pool* pool = fresh();
        return pool;
    }
    static Pool* fresh() {
#if defined(__unix__) || defined(__APPLE__)
        static bool registered = false;
        if (!registered) registered = true, pthread_atfork(nullptr, nullptr, [] { current() = new Pool(); });
#endif
        return new Pool();  // never destroyed: its threads outlive everything
    }
    static bool& helping() {
        static thread_local bool is = false;
        return is;
    }

    void work(Job& job) {
        try {
            for (int64_t i; (i = job.next.fetch_add(1, std::memory_order_relaxed)) < job.count;)
                job.body(job.context, i);
        } catch (...) {
            std::lock_guard<std::mutex> hold(lock);
            job.error = std::current_exception();
            job.next = job.count;
        }
    }

    Job* join() {  // under `lock`
        for (Job* job : jobs)
            if (job->joined < job->limit && job->next.load(std::memory_order_relaxed) < job->count) {
                job->joined++, job->inside++;
                return job;
            }
        return nullptr;
    }

    void help() {
        helping() = true;
        WithoutDenormals scope;
        uint64_t seen = 0;
        for (;;) {
            for (int spin = 0; spin < SPINS && number.load(std::memory_order_acquire) == seen; spin++) relax();
            std::unique_lock<std::mutex> hold(lock);
            if (number == seen) {
                asleep++;
                posted.wait(hold, [&] { return number != seen; });
                asleep--;
            }
            seen = number;
            while (Job* job = join()) {
                hold.unlock();
                work(*job);
                hold.lock();
                if (--job->inside == 0) {
                    job->left.store(true, std::memory_order_release);
                    finished.notify_all();
                }
            }
        }
    }

    void wait(Job& job) {  // the caller has nothing left to do
        std::unique_lock<std::mutex> hold(lock);
        jobs.erase(std::find(jobs.begin(), jobs.end(), &job));
        if (job.inside == 0) return;
        job.left = false;
        hold.unlock();
        for (int spin = 0; spin < SPINS && !job.left.load(std::memory_order_acquire); spin++) relax();
        hold.lock();
        finished.wait(hold, [&] { return job.inside == 0; });
    }

    void share(Job& job) {
        bool wake;
        {
            std::lock_guard<std::mutex> hold(lock);
            try {
                for (; threads < job.limit; threads++) std::thread([this] { help(); }).detach();
            } catch (const std::system_error&) {  // the system gives no more: those that there are
            }
            jobs.push_back(&job);
            number.fetch_add(1, std::memory_order_release);
            wake = asleep > 0;
        }
        if (wake && job.limit == 1) posted.notify_one();
        if (wake && job.limit > 1) posted.notify_all();
        work(job);
        wait(job);
        if (job.error) std::rethrow_exception(job.error);
    }

public:
    // Threads that the calling thread's work may use, itself included.
    static int& width() {
        static thread_local int threads = 1;
        return threads;
    }

    // body(0) ... body(count - 1), on several threads.
    template <class Body>
    static void each(int64_t count, Body body) {
        int limit = (int)std::min<int64_t>(width(), count) - 1;
        if (limit <= 0 || helping()) {
            for (int64_t i = 0; i < count; i++) body(i);
            return;
        }
        auto call = [](void* context, int64_t i) { (*(Body*)context)(i); };
        Job job;
        job.body = call, job.context = &body, job.count = count, job.limit = limit;
        current()->share(job);
    }
};

}  // namespace ptocr
